create database callboard
